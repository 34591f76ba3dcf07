"""From a folder of radiographs to a dataset version: ingest, tables, statistics, patient-level splits, the phantom.

A dataset version is a folder whose name ends in its digest; nothing after ingest reads the source files.
"""
