import { injectPod } from '../injection/inject-pod.ts';
import type { InjectionSettings } from '../injection/injection-configuration.ts';
import { jsonPatch } from '../injection/json-patch.ts';
import type { AdmissionAnswer, AdmissionRequest } from './admission-review.ts';
import type { WebhookMetrics } from './webhook-metrics.ts';

/** POST /inject: a pod that is made becomes part of the mesh, or is refused with what to change. */
export function reviewInjection(
  request: AdmissionRequest,
  settings: InjectionSettings,
  metrics: WebhookMetrics,
): AdmissionAnswer {
  const { object, operation, subResource, namespace } = request;
  if (object === undefined || object['kind'] !== 'Pod' || operation !== 'CREATE' || subResource !== '') {
    metrics.injections.skipped += 1;
    return { isAllowed: true };
  }
  const injection = injectPod(object, namespace, settings);
  metrics.injections[injection.kind] += 1;
  switch (injection.kind) {
    case 'injected':
      return { isAllowed: true, warnings: injection.warnings, patch: jsonPatch(object, injection.pod) };
    case 'skipped':
      return { isAllowed: true, warnings: injection.warnings };
    case 'refused':
      return { isAllowed: false, code: 422, message: `lateral: ${injection.complaints.join('; ')}` };
  }
}
