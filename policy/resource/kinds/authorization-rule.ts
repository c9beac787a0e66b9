import { pathTemplateComplaint } from '../../path/path-template.ts';
import {
  type Field,
  type Infer,
  list,
  object,
  optional,
  type Path,
  planned,
  type ReadContext,
  refined,
  required,
  string,
} from '../../schema/schema.ts';
import { conditionKeyComplaint, conditionValueComplaint, isPlannedConditionKey } from './condition-key.ts';
import { ipBlockComplaint, portComplaint, principalComplaint, serviceAccountComplaint } from './value-complaints.ts';

/** Istio's own bound on serviceAccounts. */
const MAX_SERVICE_ACCOUNTS = 16;

/** Values of which one must match; an empty list is read as absent, as Istio does, with a warning. */
function values(description: string, check?: (value: string) => string | undefined, maxItems?: number) {
  const item = string({ description, ...(check === undefined ? {} : { check }) });
  const schema = list(item, maxItems === undefined ? {} : { maxItems });
  return optional(
    refined(schema, (given, path, context) => {
      if (given.length === 0) {
        context.warn(path, 'invalid_value', 'an empty list is read as absent, as Istio does: it restricts nothing');
      }
      return true;
    }),
  );
}

const source = nonEmpty(
  {
    principals: values('Caller identities without the scheme: cluster.local/ns/shop/sa/web.', principalComplaint),
    notPrincipals: values('Caller identities that must not match.', principalComplaint),
    requestPrincipals: planned('requestPrincipals (needs RequestAuthentication)'),
    notRequestPrincipals: planned('notRequestPrincipals (needs RequestAuthentication)'),
    namespaces: values('Namespaces of the caller.'),
    notNamespaces: values('Namespaces that must not match.'),
    serviceAccounts: values('NAME or NAMESPACE/NAME.', serviceAccountComplaint, MAX_SERVICE_ACCOUNTS),
    notServiceAccounts: values('NAME or NAMESPACE/NAME.', serviceAccountComplaint, MAX_SERVICE_ACCOUNTS),
    ipBlocks: values('IP addresses or CIDR blocks of the peer.', ipBlockComplaint),
    notIpBlocks: values('IP addresses or CIDR blocks that must not match.', ipBlockComplaint),
    remoteIpBlocks: planned('remoteIpBlocks'),
    notRemoteIpBlocks: planned('notRemoteIpBlocks'),
  },
  'Who calls; all given fields must match.',
);

const operation = nonEmpty(
  {
    hosts: values('Authority of the request, without regard to case.'),
    notHosts: values('Authorities that must not match.'),
    ports: values("The app's ports.", portComplaint),
    notPorts: values('Ports that must not match.', portComplaint),
    methods: values('HTTP methods; gRPC is POST.'),
    notMethods: values('HTTP methods that must not match.'),
    paths: values('Paths without the query; templates {*} and {**}.', pathTemplateComplaint),
    notPaths: values('Paths that must not match.', pathTemplateComplaint),
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
