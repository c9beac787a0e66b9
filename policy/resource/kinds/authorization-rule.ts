import { pathTemplateComplaint } from '../../path/path-template.ts';
import {
  type Field,
  type Infer,
  list,
  object,
  optional,
  type Path,
  type ReadContext,
  refined,
  required,
  string,
} from '../../schema/schema.ts';
import { conditionKeyComplaint, conditionValueComplaint, isPlannedConditionKey } from './condition-key.ts';
import {
  ipBlockComplaint,
  portComplaint,
  principalComplaint,
  serviceAccountComplaint,
  trustDomainPatternComplaint,
} from './value-complaints.ts';
import { methodDoubt, pathDoubt, wildcardDoubt } from './value-doubts.ts';

/** Istio's own bound on serviceAccounts. */
const MAX_SERVICE_ACCOUNTS = 16;

interface ValueRules {
  /** What is wrong with a value: an error. */
  readonly check?: (value: string) => string | undefined;
  /** What is odd about a value that Istio accepts: a warning. */
  readonly doubt?: (value: string) => string | undefined;
  readonly maxItems?: number;
}

/** Values of which one must match; an empty list is read as absent, as Istio does, with a warning. */
function values(description: string, { check, doubt, maxItems }: ValueRules = {}) {
  const item = string({ description, ...(check === undefined ? {} : { check }) });
  const schema = list(item, maxItems === undefined ? {} : { maxItems });
  return optional(
    refined(schema, (given, path, context) => {
      if (given.length === 0) {
        context.warn(path, 'invalid_value', 'an empty list is read as absent, as Istio does: it restricts nothing');
      }
      for (const [index, value] of given.entries()) {
        const message = doubt?.(value);
        if (message !== undefined) context.warn([...path, index], 'suspicious_value', message);
      }
      return true;
    }),
  );
}

const principals = { check: principalComplaint, doubt: wildcardDoubt };
const accounts = { check: serviceAccountComplaint, maxItems: MAX_SERVICE_ACCOUNTS };
const trustDomains = { check: trustDomainPatternComplaint };
const ipBlocks = { check: ipBlockComplaint };
const ports = { check: portComplaint };
const paths = { check: pathTemplateComplaint, doubt: pathDoubt };
const hosts = { doubt: wildcardDoubt };
const methods = { doubt: methodDoubt };

const source = nonEmpty(
  {
    principals: values('Caller identities without the scheme: cluster.local/ns/shop/sa/web.', principals),
    notPrincipals: values('Caller identities that must not match.', principals),
    requestPrincipals: values('ISSUER/SUBJECT of a valid token.'),
    notRequestPrincipals: values('ISSUER/SUBJECT that must not match.'),
    namespaces: values('Namespaces of the caller.'),
    notNamespaces: values('Namespaces that must not match.'),
    serviceAccounts: values('NAME or NAMESPACE/NAME.', accounts),
    notServiceAccounts: values('NAME or NAMESPACE/NAME.', accounts),
    trustDomains: values('Trust domains of the caller.', trustDomains),
    notTrustDomains: values('Trust domains that must not match.', trustDomains),
    ipBlocks: values('IP addresses or CIDR blocks of the peer.', ipBlocks),
    notIpBlocks: values('IP addresses or CIDR blocks that must not match.', ipBlocks),
    remoteIpBlocks: values('IP addresses or CIDR blocks of the client, behind trusted proxies.', ipBlocks),
    notRemoteIpBlocks: values('IP addresses or CIDR blocks that must not match.', ipBlocks),
  },
  'Who calls; all given fields must match.',
);

const operation = nonEmpty(
  {
    hosts: values('Authority of the request, without regard to case.', hosts),
    notHosts: values('Authorities that must not match.', hosts),
    ports: values("The app's ports.", ports),
    notPorts: values('Ports that must not match.', ports),
    methods: values('HTTP methods; gRPC is POST.', methods),
    notMethods: values('HTTP methods that must not match.', methods),
    paths: values('Paths without the query; templates {*} and {**}.', paths),
    notPaths: values('Paths that must not match.', paths),
  },
  'What is called; all given fields must match.',
);

const condition = refined(
  object(
    {
      key: required(refined(string({ description: 'Attribute, e.g. request.headers[x-team].' }), checkKey)),
      values: values('Of which one must match.'),
      notValues: values('Of which none may match.'),
    },
    'A further condition.',
  ),
  checkCondition,
);

/** One rule of an AuthorizationPolicy; absent parts match anything. */
export const authorizationRule = object(
  {
    from: optional(list(object({ source: required(refined(source, checkSource)) }), { minItems: 1 })),
    to: optional(list(object({ operation: required(operation) }), { minItems: 1 })),
    when: optional(list(condition)),
    condition: optional(
      string({
        description:
          "In CEL, and under lateral.dev alone: `jwt.tenant == request.path.split('/')[2]`. All of it must hold too.",
      }),
    ),
  },
  'Matches when one of from, one of to, and all of when match.',
);

export type AuthorizationRule = Infer<typeof authorizationRule>;
export type AuthorizationSource = Infer<typeof source>;
export type AuthorizationOperation = Infer<typeof operation>;
export type AuthorizationCondition = Infer<typeof condition>;

function nonEmpty<F extends { readonly [name: string]: Field<unknown> }>(fields: F, description: string) {
  return refined(object(fields, description), (value, path, context) => {
    if (Object.values(value).some((given) => Array.isArray(given) && given.length > 0)) return true;
    context.fail(path, 'invalid_value', `must not be empty; give one of ${Object.keys(fields).join(', ')}`);
    return false;
  });
}

function checkSource(value: AuthorizationSource, path: Path, context: ReadContext): boolean {
  const hasAccounts = isGiven(value.serviceAccounts) || isGiven(value.notServiceAccounts);
  const hasOthers = [value.principals, value.notPrincipals, value.namespaces, value.notNamespaces].some(isGiven);
  if (!hasAccounts || !hasOthers) return true;
  context.fail(path, 'invalid_value', 'serviceAccounts cannot be set together with principals or namespaces');
  return false;
}

function checkKey(key: string, path: Path, context: ReadContext): boolean {
  if (isPlannedConditionKey(key)) {
    context.fail(path, 'not_implemented', `the attribute ${key} is not implemented in this version`);
    return false;
  }
  const complaint = conditionKeyComplaint(key);
  if (complaint !== undefined) context.fail(path, 'invalid_value', complaint);
  return complaint === undefined;
}

function checkCondition(
  value: {
    readonly key: string;
    readonly values: readonly string[] | undefined;
    readonly notValues: readonly string[] | undefined;
  },
  path: Path,
  context: ReadContext,
): boolean {
  if (!isGiven(value.values) && !isGiven(value.notValues)) {
    context.fail(path, 'missing_field', `give values or notValues for ${value.key}`);
    return false;
  }
  let isWhole = true;
  for (const field of ['values', 'notValues'] as const) {
    for (const [index, given] of (value[field] ?? []).entries()) {
      const complaint = conditionValueComplaint(value.key, given);
      if (complaint === undefined) continue;
      context.fail([...path, field, index], 'invalid_value', complaint);
      isWhole = false;
    }
  }
  return isWhole;
}

function isGiven(given: readonly string[] | undefined): boolean {
  return given !== undefined && given.length > 0;
}
