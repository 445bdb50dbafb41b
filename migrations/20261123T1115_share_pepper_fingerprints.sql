-- Verifiers that read keys by themselves have to know that their peppers are the right ones: with a wrong one every good key
-- would look unknown. A fingerprint tells peppers apart and tells nothing of them.
GRANT SELECT ON key_peppers TO nexus_api, nexus_ai;
