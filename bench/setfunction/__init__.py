"""Set functions F(S) over features: tables, optimal orders, certificates."""
