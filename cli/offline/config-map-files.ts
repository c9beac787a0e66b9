import { joinedDocument } from '#control-plane/documents/joined-document.ts';
import { type JsonObject, objectAt, textAt } from '#control-plane/injection/json-object.ts';
import { configMapValuesOf } from '#control-plane/kubernetes/cluster/cluster-objects.ts';
import type { ConfigMapText } from '#control-plane/kubernetes/resources/cluster-view.ts';
import type { PlacedDocument } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import { documentFieldOf } from '#policy/resource/kinds/api-schema.ts';
import type { NamedDocuments } from '#policy/resource/read-resource.ts';
import { givenOf, problemAt } from '#policy/resource/sourced-resource.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { DEFAULT_NAMESPACE } from './check-workload.ts';

const NOT_AMONG_FILES =
  'is not among the files, so the document is not checked; name its file too, or check against the cluster that has it (--cluster)';

/** Stand for documents that are not known; nothing is said of them. */
const UNKNOWN_DOCUMENTS = { utf8: '{}', base64: 'AAAA' };

/** What one APISchema takes from the ConfigMaps among the files. */
export interface ConfigMapReading {
  readonly read: NamedDocuments['configMaps'];
  /** True once something that it asked for was not there: what it was given is no document. */
  isIncomplete(): boolean;
}

/** The ConfigMaps among files, for the APISchemas of their namespaces. */
export class ConfigMapFiles {
  readonly #byName = new Map<string, JsonObject>();
  readonly #used = new Set<unknown>();

  /** The last of a name is the one that stays, as with `kubectl apply`. */
  constructor(objects: readonly unknown[]) {
    for (const object of objects) {
      if (!isRecord(object) || object.kind !== 'ConfigMap' || object.apiVersion !== 'v1') continue;
      const metadata = objectAt(object, 'metadata');
      const namespace = textAt(metadata, 'namespace') ?? DEFAULT_NAMESPACE;
      this.#byName.set(`${namespace}/${textAt(metadata, 'name') ?? ''}`, object);
    }
  }

  /** NAMESPACE and name of each. */
  get names(): readonly (readonly [namespace: string, name: string])[] {
    return [...this.#byName.keys()].map((key) => [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)]);
  }

  /** What a key holds; undefined: no such ConfigMap is among the files. */
  text(namespace: string, name: string, key: string): ConfigMapText | undefined {
    const configMap = this.#byName.get(`${namespace}/${name}`);
    if (configMap === undefined) return undefined;
    this.#used.add(configMap);
    const data = configMapValuesOf(configMap);
    const value = Object.hasOwn(data, key) ? data[key] : undefined;
    if (value !== undefined) return { kind: 'text', ...value };
    const keys = Object.keys(data).join(', ') || 'none';
    return { kind: 'missing', reason: `ConfigMap ${name} has no key ${key} in its data; it has ${keys}` };
  }

  /** True for one of the objects given that was asked for. */
  isUsed(object: unknown): boolean {
    return this.#used.has(object);
  }

  /**
   * Reads for the APISchema at a place. A ConfigMap that is not among the files may be in the cluster, made by other means:
   * the doubt is a warning. A key that one among them has not is an error.
   */
  readFor(place: PlacedDocument, problems: Problem[]): ConfigMapReading {
    let isIncomplete = false;
    const report = (index: number, severity: Problem['severity'], message: string) => {
      isIncomplete = true;
      const given = givenOf(place);
      const field = documentFieldOf(isRecord(given) ? given.spec : undefined);
      const shown = `spec.${field}.configMapRefs[${index}]: ${message}`;
      const path = ['spec', field, 'configMapRefs', index];
      problems.push(problemAt(place, path, severity, 'missing_config_map', shown));
    };
    return {
      isIncomplete: () => isIncomplete,
      read: (namespace, references, _path, _context, encoding) => {
        const texts = references.map(({ name, key }, index) => {
          const found = this.text(namespace, name, key);
          if (found?.kind === 'text') return found;
          if (found?.kind === 'missing') report(index, 'error', found.reason);
          else report(index, 'warning', `ConfigMap ${name} of namespace ${namespace} ${NOT_AMONG_FILES}`);
          return { text: '' };
        });
        return isIncomplete ? UNKNOWN_DOCUMENTS[encoding] : joinedDocument(texts, encoding);
      },
    };
  }
}
