import { lookup, type LookupAddress, type LookupOptions } from "node:dns";
import { isPrivateAddress } from "./private-address.ts";

/** Of `dns.lookup`; another one in tests. @internal */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

type Lookup = (
  hostname: string,
  options: LookupOptions,
  callback: (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void,
) => void;

/**
 * A look-up for connections that may only leave. A public name may point inside (DNS rebinding, a metadata address): what it
 * resolves to decides, at every connection anew, and the address that was looked at is the one that is connected to. @internal
 */
export function lookupPublic(resolve: Resolve): Lookup {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const open = addresses.filter(({ address }) => !isPrivateAddress(address));
      const [first] = open;
      if (!first) {
        const refusal: NodeJS.ErrnoException = new Error(`${hostname} lies in a private network`);
        refusal.code = "EPRIVATEADDRESS";
        return callback(refusal, []);
      }
      return options.all ? callback(null, open) : callback(null, first.address, first.family);
    });
  };
}

export const publicLookup = lookupPublic(lookup);
