"""Certified metrics of a model file on a labelled data set, in memory that does not grow with it.

    job -> certify_image -> record -> spool -> summary -> metrics.json, per_image.csv, curve.csv

Certifying an image gives one self-contained `Record`; a run appends records to a spool file, and
`summary` streams over one or more spools. One run, the shards of one run and a Ray cluster differ
in who writes the spools only, so their figures are the same to the last digit.
"""
