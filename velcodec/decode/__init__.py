"""From records to models: one continuous field, rendered at any grid or point, in any unit."""
