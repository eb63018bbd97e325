"""The parts of the tables' benchmark: which tables, who takes part, what is measured, what is made of it."""
