"""The evaluation report: every table of the paper, for any decoder and any data.

`velcodec.report.run.make_report` does it all; the other modules are one table each. Everything is
in m/s; PSNR takes the fixed range of 3000 m/s. docs/evaluation.md says what each table means.
"""
