import { type Field, integer, optional } from "@nexus/config";
import { type Peppers, peppersField } from "./peppers.ts";

/** For every service that decides about keys. */
export const keyCheckFields: { KEY_CHECK_BLIND_SECONDS: Field<number> } = {
  KEY_CHECK_BLIND_SECONDS: integer({
    doc: "How long keys that are known go on working when PostgreSQL, and so the news of revocations, is out of reach; root and service keys never do.",
    default: 60,
    min: 0,
    max: 3600,
  }),
};

/** For services that ask pv-keys, and look for themselves while it is away. */
export const keyLookupFields: { NEXUS_KEY_PEPPERS: Field<Peppers | undefined> } = {
  NEXUS_KEY_PEPPERS: optional({
    ...peppersField,
    doc: "The peppers of pv-keys, so that keys can be looked up in PostgreSQL while pv-keys is away; without them unknown keys get 503 then.",
  }),
};
