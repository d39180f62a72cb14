"""Surfaces as meshes for ParaView, printers and slides."""
