"""Fuzz targets for every parser of edgec, and the processes that run and watch them."""
