"""Any image: residuals of blended predictions."""
