import type { JsonSchema } from '#policy/schema/schema.ts';

/** Longest message of a condition (metav1.Condition). */
const MAX_MESSAGE_LENGTH = 32_768;

const condition: JsonSchema = {
  type: 'object',
  description: 'One thing that holds, or does not (metav1.Condition).',
  required: ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
  properties: {
    type: { type: 'string', description: 'Accepted, Programmed, MatchedWorkloads.', minLength: 1, maxLength: 316 },
    status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
    observedGeneration: {
      type: 'integer',
      format: 'int64',
      minimum: 0,
      description: 'Of which metadata.generation this is said.',
    },
    lastTransitionTime: { type: 'string', format: 'date-time', description: 'When status last changed.' },
    reason: { type: 'string', description: 'One word, for programs.', minLength: 1, maxLength: 1024 },
    message: { type: 'string', description: 'For people: reasons with positions.', maxLength: MAX_MESSAGE_LENGTH },
  },
};

/** What the control plane says of a resource. */
export const STATUS_SCHEMA: JsonSchema = {
  type: 'object',
  description: 'Written by the control plane.',
  'x-kubernetes-preserve-unknown-fields': true,
  properties: {
    observedGeneration: { type: 'integer', format: 'int64', minimum: 0, description: 'Of which this is said.' },
    workloads: { type: 'integer', minimum: 0, description: 'Pods with a sidecar that it binds.' },
    conditions: {
      type: 'array',
      items: condition,
      maxItems: 32,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
  },
};
