import { isIP } from 'node:net';
import { canonicalAddress } from '#policy/mesh/canonical-address.ts';
import { parseAuthority } from '#policy/mesh/parse-authority.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { recordsOf, textOf } from '../api-object.ts';
import type { MeshObject } from '../resources/mesh-objects.ts';

/** An object never changes; a changed one is another. */
const known = new WeakMap<MeshObject, ReadonlySet<string>>();
const NONE: ReadonlySet<string> = new Set();

/** True where a MeshService has this address, spelled by `canonicalAddress`, for a host or an endpoint. */
export function namesAddress(object: MeshObject, address: string): boolean {
  if (object.kind !== 'MeshService') return false;
  const found = known.get(object) ?? addressesOf(object);
  known.set(object, found);
  return found.has(address);
}

function addressesOf({ document }: MeshObject): ReadonlySet<string> {
  const { spec } = document;
  if (!isRecord(spec)) return NONE;
  const hosts = Array.isArray(spec.hosts) ? spec.hosts.map((host) => parseAuthority(textOf(host))?.host ?? '') : [];
  const endpoints = recordsOf(spec.endpoints).map(({ address }) => textOf(address));
  return new Set([...hosts, ...endpoints].filter((text) => isIP(text) !== 0).map(canonicalAddress));
}
