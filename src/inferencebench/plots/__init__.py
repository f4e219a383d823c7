"""Charts of records, as SVG, HTML or PNG files that load nothing from anywhere. One library: altair with vl-convert."""
