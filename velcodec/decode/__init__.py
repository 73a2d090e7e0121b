"""Records to models: one continuous field, rendered on any grid, at any point, in any unit."""
