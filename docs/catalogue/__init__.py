"""What the pages of docs/codes say: one `Page` per code, by family. `docs/make_codes.py` writes them."""
