"""The evaluation report: every table of the paper, for any decoder and any data.

`velcodec.report.run.make_report` makes the report; the other modules make one table each.
Everything is in m/s; PSNR uses the fixed range of 3000 m/s. docs/evaluation.md explains each table.
"""
