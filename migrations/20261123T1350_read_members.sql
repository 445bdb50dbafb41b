-- pv-keys asks who of an organization may change the keys of its other members.
GRANT SELECT ON members TO nexus_keys;
