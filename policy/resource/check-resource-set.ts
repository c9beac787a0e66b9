import { canonicalAddress } from '../mesh/canonical-address.ts';
import { parseAuthority } from '../mesh/parse-authority.ts';
import type { Problem } from '../problem.ts';
import type { Mesh } from '../workload-policy.ts';
import type { Resource } from './kind.ts';
import type { MeshServiceSpec } from './kinds/mesh-service.ts';
import { resourceKey } from './resource-document.ts';
import { placeOf, problemAt, type SourcedResource } from './sourced-resource.ts';

/**
 * Checks what only the whole set can tell: names and hosts used twice, hosts of other namespaces, references to
 * resources that are not there. Returns the resources without duplicates.
 */
export function checkResourceSet(
  read: readonly SourcedResource[],
  mesh: Mesh,
  problems: Problem[],
): readonly SourcedResource[] {
  const unique = withoutDuplicates(read, problems);
  checkSingleDefaults(unique, mesh, problems);
  checkServiceHosts(unique, problems);
  checkSchemaReferences(unique, problems);
  return unique;
}

function withoutDuplicates(read: readonly SourcedResource[], problems: Problem[]): readonly SourcedResource[] {
  const first = new Map<string, SourcedResource>();
  for (const sourced of read) {
    const { type, resource } = sourced.any;
    const key = resourceKey(type, resource.namespace, resource.name);
    const other = first.get(key);
    if (other === undefined) {
      first.set(key, sourced);
      continue;
    }
    const message = `${type} ${resource.namespace}/${resource.name} is already defined at ${placeOf(other)}`;
    problems.push(problemAt(sourced, ['metadata', 'name'], 'error', 'duplicate_resource', message));
  }
  return [...first.values()];
}

function checkSingleDefaults(all: readonly SourcedResource[], mesh: Mesh, problems: Problem[]): void {
  const [first, ...others] = all.filter(
    ({ any }) => any.type === 'MeshDefaults' && any.resource.namespace === mesh.rootNamespace,
  );
  for (const other of others) {
    const message = `a mesh has at most one MeshDefaults; the first is at ${first === undefined ? '' : placeOf(first)}`;
    problems.push(problemAt(other, ['kind'], 'error', 'duplicate_resource', message));
  }
}

interface SourcedService {
  readonly sourced: SourcedResource;
  readonly service: Resource<MeshServiceSpec>;
}

/** Services in the order in which a host goes to the first that claims it: by namespace and name. */
function servicesOf(all: readonly SourcedResource[]): readonly SourcedService[] {
  return all
    .flatMap((sourced) => (sourced.any.type === 'MeshService' ? [{ sourced, service: sourced.any.resource }] : []))
    .sort(({ service: left }, { service: right }) => compareServices(left, right));
}

/** By namespace, then name. */
export function compareServices(
  left: { readonly namespace: string; readonly name: string },
  right: { readonly namespace: string; readonly name: string },
): number {
  if (left.namespace !== right.namespace) return left.namespace < right.namespace ? -1 : 1;
  if (left.name === right.name) return 0;
  return left.name < right.name ? -1 : 1;
}

function checkServiceHosts(all: readonly SourcedResource[], problems: Problem[]): void {
  const namespaces = new Set(all.map(({ any }) => any.resource.namespace));
  const claims = new Map<string, SourcedService>();
  for (const claimant of servicesOf(all)) {
    const { sourced, service } = claimant;
    for (const [index, host] of service.spec.hosts.entries()) {
      const path = ['spec', 'hosts', index];
      const foreign = foreignNamespace(host, service, namespaces);
      if (foreign !== undefined) {
        const message = `the host ${host} names the namespace ${foreign}; this service is of ${service.namespace}`;
        problems.push(problemAt(sourced, path, 'error', 'foreign_host', message));
      }
      const scope = scopedHost(host, service.namespace);
      const other = claims.get(scope);
      if (other === undefined) {
        claims.set(scope, claimant);
      } else if (other.service !== service) {
        const owner = `${other.service.namespace}/${other.service.name} (${placeOf(other.sourced)})`;
        const message = `the host ${host} is already claimed by MeshService ${owner}`;
        problems.push(problemAt(sourced, path, 'error', 'duplicate_host', message));
      }
    }
  }
}

/** A host as it is looked up, one text for all its spellings; a bare name only within its namespace. */
export function scopedHost(host: string, namespace: string): string {
  const { name, port } = hostParts(host);
  const scope = isBareName(name) ? namespace : '';
  return port === undefined ? `${scope}/${name}` : `${scope}/${name} ${port}`;
}

/** The same host on every port; undefined: it names none. */
export function scopedHostOfAllPorts(host: string, namespace: string): string | undefined {
  const { name, port } = hostParts(host);
  return port === undefined ? undefined : `${isBareName(name) ? namespace : ''}/${name}`;
}

function hostParts(host: string): { readonly name: string; readonly port: number | undefined } {
  const lower = host.toLowerCase();
  const authority = parseAuthority(lower);
  return { name: canonicalAddress(authority?.host ?? lower), port: authority?.port };
}

/** True for a name without a dot that is no IPv6 address. */
export function isBareName(host: string): boolean {
  return !host.includes('.') && !host.includes(':');
}

/**
 * For NAME.NS and HOSTNAME.NAME.NS: the other namespace it names, where NS is one of the mesh or NAME.NS has the service's own
 * name. Hosts of more labels are never looked up as those of a Service.
 */
export function foreignNamespace(
  host: string,
  service: Pick<Resource<MeshServiceSpec>, 'namespace' | 'name'>,
  namespaces: ReadonlySet<string>,
): string | undefined {
  const labels = hostParts(host).name.split('.');
  const [name] = labels;
  const named = labels.at(-1);
  if (named === undefined || labels.length < 2 || labels.length > 3) return undefined;
  if (named === service.namespace || (labels.length === 3 && named === 'svc')) return undefined; // which is judged alone
  return namespaces.has(named) || (labels.length === 2 && name === service.name) ? named : undefined;
}

function checkSchemaReferences(all: readonly SourcedResource[], problems: Problem[]): void {
  const schemas = new Set(
    all.flatMap(({ any }) => (any.type === 'APISchema' ? [`${any.resource.namespace}/${any.resource.name}`] : [])),
  );
  for (const sourced of all) {
    if (sourced.any.type !== 'APIValidationPolicy') continue;
    const { namespace, spec } = sourced.any.resource;
    for (const [index, reference] of spec.schemaRefs.entries()) {
      if (schemas.has(`${namespace}/${reference}`)) continue;
      const message = `no APISchema ${namespace}/${reference} is defined`;
      problems.push(problemAt(sourced, ['spec', 'schemaRefs', index], 'error', 'unknown_reference', message));
    }
  }
}
