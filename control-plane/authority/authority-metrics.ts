import { rootFactsOf } from './authority-facts.ts';
import type { KeptAuthority } from './authority-keeper.ts';
import { currentRevocations } from './revocations.ts';

const STAGES = ['none', 'trusting', 'promoting', 'signing'] as const;

/** Roots, the change of them, and revocations, in the Prometheus text format. */
export function authorityMetricLines(kept: KeptAuthority, nowMs: number): readonly string[] {
  const roots = rootFactsOf(kept, nowMs);
  const stage = kept.state.rotation?.stage ?? 'none';
  const { identities, serials } = currentRevocations(kept.state.revocations, nowMs);
  const seconds = (iso: string) => Math.floor(Date.parse(iso) / 1_000);
  return [
    '# HELP lateral_control_plane_root_expiry_timestamp_seconds When a trusted root ends, by its SHA-256.',
    '# TYPE lateral_control_plane_root_expiry_timestamp_seconds gauge',
    ...roots.map(
      ({ fingerprint, role, notAfter }) =>
        `lateral_control_plane_root_expiry_timestamp_seconds{fingerprint="${fingerprint}",role="${role}"} ${seconds(notAfter)}`,
    ),
    '# HELP lateral_control_plane_root_trusted_until_timestamp_seconds When a former root is trusted no longer.',
    '# TYPE lateral_control_plane_root_trusted_until_timestamp_seconds gauge',
    ...roots.flatMap(({ fingerprint, trustedUntil }) =>
      trustedUntil === null
        ? []
        : `lateral_control_plane_root_trusted_until_timestamp_seconds{fingerprint="${fingerprint}"} ${seconds(trustedUntil)}`,
    ),
    '# HELP lateral_control_plane_root_rotation_stage 1: the change of the root is in this stage.',
    '# TYPE lateral_control_plane_root_rotation_stage gauge',
    ...STAGES.map((one) => `lateral_control_plane_root_rotation_stage{stage="${one}"} ${one === stage ? 1 : 0}`),
    '# HELP lateral_control_plane_revocations Revocations in force.',
    '# TYPE lateral_control_plane_revocations gauge',
    `lateral_control_plane_revocations{of="identity"} ${identities.length}`,
    `lateral_control_plane_revocations{of="serial"} ${serials.length}`,
  ];
}
