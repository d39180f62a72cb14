"""Values on lines and planes, exact or within a tolerance; the convexity map."""
