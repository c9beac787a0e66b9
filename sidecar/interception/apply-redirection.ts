import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { addLoopbackAddress } from './add-loopback-address.ts';
import { OWN_IPV6_SOURCE } from './own-addresses.ts';
import { type Family, type Redirection, redirectionRules } from './redirection-rules.ts';

/** One run of a program takes this long at most; iptables waits for its lock as long. */
const PROGRAM_TIMEOUT_MS = 30_000;
/** Output of a program that is kept: a node may have thousands of rules, a pod has few. */
const MAX_OUTPUT_BYTES = 4 * 1_024 * 1_024;
/** Addresses of this network namespace; there is no such file where the kernel has no IPv6. */
const IPV6_ADDRESSES = '/proc/net/if_inet6';

const PROGRAMS = {
  IPv4: { save: 'iptables-save', restore: 'iptables-restore' },
  IPv6: { save: 'ip6tables-save', restore: 'ip6tables-restore' },
} as const;

/**
 * Puts a redirection in force in this network namespace, in place of an earlier one; resolves to the families it is for. IPv6 is
 * left out where no interface but loopback has it. Throws where it cannot: then no container of the pod may start.
 */
export async function applyRedirection(redirection: Redirection): Promise<readonly Family[]> {
  const families: readonly Family[] = (await isIpv6There()) ? ['IPv4', 'IPv6'] : ['IPv4'];
  for (const family of families) {
    const { save, restore } = PROGRAMS[family];
    const present = await run(save, ['-t', 'nat']);
    await run(restore, ['--noflush'], redirectionRules(redirection, family, present));
    if (family === 'IPv6') addLoopbackAddress(OWN_IPV6_SOURCE);
  }
  return families;
}

async function isIpv6There(): Promise<boolean> {
  const text = await readFile(IPV6_ADDRESSES, 'utf8').catch(() => '');
  return text.split('\n').some((line) => line !== '' && !line.endsWith(' lo'));
}

/** Resolves to stdout; rejects with what to do. */
function run(program: string, args: readonly string[], input = ''): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(program, args, { timeout: PROGRAM_TIMEOUT_MS });
  const stdout = gather(child.stdout);
  const stderr = gather(child.stderr);
  child.on('error', (error) =>
    reject(new Error(`cannot run ${program} (${error.message}); ${remedyFor(error.message)}`)),
  );
  child.on('close', (code, signal) => {
    if (code === 0) resolve(stdout());
    else {
      const said = stderr().trim().replaceAll('\n', '; ') || `exit code ${code ?? signal}`;
      reject(new Error(`${program} failed: ${said}; ${remedyFor(said)}`));
    }
  });
  child.stdin.on('error', () => {}); // it ended before it read all: its exit code tells
  child.stdin.end(input);
  return promise;
}

function gather(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_OUTPUT_BYTES) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}

const ALTERNATIVE = 'or set the annotation lateral.dev/interception: none on the pod';

function remedyFor(said: string): string {
  if (said.includes('ENOENT')) return `install it in this image, ${ALTERNATIVE}`;
  if (/permission denied|not permitted|must be root/i.test(said)) {
    return `give the container the capability NET_ADMIN, ${ALTERNATIVE}`;
  }
  return `see whether the kernel of the node has nf_tables (nft_chain_nat, nft_redir, xt_owner), ${ALTERNATIVE}`;
}
