"""What a stage is: data sets, the candidate store, fingerprints, stages, the report; knows files but no cluster."""
