"""What leaves: claims as values, and the formats that write them. No framework, no database, no clock."""
