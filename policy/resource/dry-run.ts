/** Istio's annotation of an AuthorizationPolicy that is to be tried before it is enforced. */
export const DRY_RUN = 'istio.io/dry-run';

/** What Istio's reader takes for true and for false; with anything else the policy is enforced. */
const TRUE: ReadonlySet<string> = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** Whether the annotations put a policy on trial; undefined: what they say is neither yes nor no. */
export function readDryRun(annotations: { readonly [key: string]: string } | undefined): boolean | undefined {
  const given = annotations?.[DRY_RUN];
  if (given === undefined || FALSE.has(given)) return false;
  return TRUE.has(given) ? true : undefined;
}
