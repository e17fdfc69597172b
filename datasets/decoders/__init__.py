"""Decoders: bytes of one file format in, uint8 images and labels out."""
