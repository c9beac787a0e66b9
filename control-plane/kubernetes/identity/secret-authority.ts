import { AUTHORITY_FILE, type AuthorityStore, type StoredAuthority } from '../../authority/authority-store.ts';
import type { KubernetesSecret, StoredSecret } from './secret.ts';

/** cert-manager's names in a Secret of a Certificate with `isCA: true`. */
const CERT_MANAGER = { chain: 'tls.crt', key: 'tls.key', root: 'ca.crt' } as const;

/**
 * The authority in a Secret, under Istio's names or cert-manager's. Of several control planes that find it empty one fills
 * it; the others read what that one wrote.
 */
export function secretAuthority(secret: KubernetesSecret): AuthorityStore {
  let last: StoredSecret | undefined;
  return {
    async read() {
      last = await secret.read();
      if (last === undefined) {
        throw new Error(
          `Secret ${secret.namespace}/${secret.name} does not exist; the chart makes it, or create it empty: kubectl -n ${secret.namespace} create secret generic ${secret.name}`,
        );
      }
      return storedAuthorityOf(last);
    },
    async write(files) {
      const added = Object.entries(files).flatMap(([file, text]) =>
        text === undefined || !isAuthorityFile(file) ? [] : [[AUTHORITY_FILE[file], Buffer.from(text)] as const],
      );
      return secret.write({ ...last?.data, ...Object.fromEntries(added) }, last?.resourceVersion ?? '');
    },
    place: (file) => `Secret ${secret.namespace}/${secret.name}: ${file}`,
  };
}

function isAuthorityFile(name: string): name is keyof typeof AUTHORITY_FILE {
  return Object.hasOwn(AUTHORITY_FILE, name);
}

/** An empty value counts as none. */
export function storedAuthorityOf({ data }: StoredSecret): StoredAuthority {
  const textOf = (key: string) => {
    const value = data[key];
    return value === undefined || value.length === 0 ? undefined : value.toString('utf8');
  };
  const chain = textOf(CERT_MANAGER.chain);
  if (chain !== undefined) {
    // The first of the chain issues; without ca.crt its last is the root, as where the authority signed itself.
    const root = textOf(CERT_MANAGER.root) ?? chain;
    return { rootKey: undefined, root, issuingKey: textOf(CERT_MANAGER.key), chain, issuing: chain };
  }
  return {
    rootKey: textOf(AUTHORITY_FILE.rootKey),
    root: textOf(AUTHORITY_FILE.root),
    issuingKey: textOf(AUTHORITY_FILE.issuingKey),
    chain: textOf(AUTHORITY_FILE.chain),
    issuing: textOf(AUTHORITY_FILE.issuing),
  };
}
