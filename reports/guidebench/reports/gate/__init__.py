"""Whether new records are worse than accepted ones, at a stated rate of false alarms.

`baseline` keeps what was accepted, `pairing` refuses what cannot be compared, `changes` measures
each change with its paired error, `judge` gives the verdicts, `words` and `outputs` tell them;
`memory` and `speed` are the rules for cost. docs/gate.md has the method and its measured rates.
"""
