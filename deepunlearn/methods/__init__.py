"""The unlearning methods: one file here and one YAML in `conf/method/` each."""
