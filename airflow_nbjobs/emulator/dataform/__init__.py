"""The part of Dataform that notebooks of Colab Enterprise and BigQuery Studio need: repositories and their commits."""
