"""Results and their figures for other programs: images, tables, arrays, ParaView, printers and slides."""
