"""`deepunlearn check-gpu`: whether a device computes what the CPU does, and how fast it is.

A list of parts, each kept in a file once it is done, so that the same command goes on where it was stopped; one page of
tables out.
"""
