"""Building blocks of the page: figures with controls, tables, and surfaces on one scale."""
