"""A synthetic inspection line, to try blemish without a data set.

Four computed products, none of them photographed: two surfaces (``metal``, brushed steel, and
``fabric``, woven cloth) with structural defects, and two assemblies (``board``, a populated
circuit board, and ``tray``, a sorting tray of screws, washers and nuts) with structural and
logical ones. :func:`write_demo_line` writes them in the layout of MVTec LOCO; :func:`render`
takes a single picture. What is measured on them says nothing about a real line.

The way through: a product's module draws a :class:`~blemish.demo_line.scene.Scene` of heights,
colours and finishes; :mod:`~blemish.demo_line.camera` lights and photographs it;
:mod:`~blemish.demo_line.line` writes files.
"""

from __future__ import annotations

from blemish.demo_line.line import DEFECTS, PRODUCTS, defects_config, render, write_demo_line

__all__ = ["DEFECTS", "PRODUCTS", "defects_config", "render", "write_demo_line"]
