import process from 'node:process';

/** As Debian, Kubernetes and image registries name them. */
export const ARCHITECTURES = ['amd64', 'arm64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Node's and npm's names of the same. */
const NODE_NAMES = { amd64: 'x64', arm64: 'arm64' } as const satisfies { readonly [name in Architecture]: string };

export function nodeNameOf(architecture: Architecture): string {
  return NODE_NAMES[architecture];
}

/** This machine's. Throws where no image is made for it. */
export function ownArchitecture(): Architecture {
  const own = ARCHITECTURES.find((name) => NODE_NAMES[name] === process.arch);
  if (own === undefined)
    throw new Error(`no image is made for ${process.arch}; --arch takes ${ARCHITECTURES.join(', ')}`);
  return own;
}

export function architectureOf(name: string): Architecture {
  const found = ARCHITECTURES.find((known) => known === name);
  if (found === undefined) throw new Error(`--arch ${name}: expected ${ARCHITECTURES.join(' or ')}`);
  return found;
}
