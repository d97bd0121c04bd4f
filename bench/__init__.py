"""Measures speed as ratios inside one run, against an empty Django view on the same server. Not part of the product."""
