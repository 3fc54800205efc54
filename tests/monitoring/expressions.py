"""Expressions that a declaration of the tests can name."""

import polars as pl

PAID = pl.col("paid") == 1
PAID_AS_WELL = pl.col("paid") == 1
UNPAID = pl.col("paid") == 0
AMOUNT = pl.col("amount")
MONEY = pl.col("target") * 10.0
MORE_MONEY = pl.col("target") * 20.0
FEATURES = {"amount": pl.col("amount")}
