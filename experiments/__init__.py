"""The paper's experiments on a benchmark that everybody can render: `python -m experiments.run`, then
`python -m experiments.results`."""
