"""The papers' tables and figures, published beside measured.

`model` is what a paper prints, `fill` puts records beside it, `formats` writes tables with
pandas, `figures` draws curves with the printed minima.
"""
