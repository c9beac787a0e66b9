/**
 * What the control plane is called in SNI, by sidecars and by its other replicas: an address is no name (RFC 6066 §3). Who
 * answers is checked by SPIFFE ID, not by this.
 */
export const CONTROL_PLANE_SERVER_NAME = 'control-plane.lateral';
