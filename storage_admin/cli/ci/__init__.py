"""The outputs of `check` that a CI service reads: annotations of GitHub, JUnit, SARIF."""
