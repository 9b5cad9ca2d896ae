"""Generated stubs of the protobuf package assay.v1; `generate.py` makes them."""
