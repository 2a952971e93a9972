// Icons drawn here, in the text's colour; the words beside them carry the meaning.

const Icon = ({ children, size = 20, label }) => (
  <svg class="icon" width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.75"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden={label ? undefined : 'true'} role={label ? 'img' : undefined} aria-label={label}>
    {children}
  </svg>
);

export const Bell = ({ size = 40 }) => (
  <svg width={size} height={size} viewBox="0 0 64 64" aria-hidden="true">
    <rect width="64" height="64" rx="15" class="bell-ground" />
    <path d="M32 13c-1.9 0-3.4 1.5-3.4 3.3v1.1c-6.6 1.6-11 7.2-11 14v7.2l-3.4 5.2c-.8 1.3.1 3 1.7 3h32.2c1.6 0 2.5-1.7 1.7-3l-3.4-5.2v-7.2c0-6.8-4.4-12.4-11-14v-1.1c0-1.8-1.5-3.3-3.4-3.3z" fill="#fff" />
    <path d="M26 49.5a6.2 6.2 0 0 0 12 0z" fill="#ffd166" />
  </svg>
);
export const Back = () => <Icon><path d="M12.5 4.5 7 10l5.5 5.5" /></Icon>;
export const Search = () => <Icon size={18}><circle cx="9" cy="9" r="5.25" /><path d="m13 13 4 4" /></Icon>;
export const Send = () => <Icon><path d="M3.5 10 16.5 4l-4 12.5-3-5z" /><path d="m9.5 11.5 7-7.5" /></Icon>;
export const Leave = () => <Icon size={18}><path d="M8 4H5a1 1 0 0 0-1 1v10a1 1 0 0 0 1 1h3M12.5 6.5 16 10l-3.5 3.5M16 10H8" /></Icon>;
export const Down = () => <Icon size={18}><path d="M10 4v12M5 11l5 5 5-5" /></Icon>;
export const Eye = ({ off }) => (
  <Icon><path d="M2.5 10S5.5 5 10 5s7.5 5 7.5 5-3 5-7.5 5-7.5-5-7.5-5z" /><circle cx="10" cy="10" r="2.25" />{off && <path d="m3.5 16.5 13-13" />}</Icon>
);
export const Warning = () => <Icon size={18}><path d="M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.25v.01" /></Icon>;
export const Lock = () => <Icon size={14}><rect x="4.5" y="9" width="11" height="8" rx="1.5" /><path d="M7 9V6.5a3 3 0 0 1 6 0V9" /></Icon>;

const stateShapes = {
  queued: <g><circle cx="10" cy="10" r="6.25" /><path d="M10 6.5V10l2.5 1.5" /></g>,
  stored: <path d="m4.5 10.5 3.5 3.5 7.5-8" />,
  delivered: <path d="m1.5 10.5 3.5 3.5 7.5-8M9.5 13l1 1 7.5-8" />,
  read: <path d="m1.5 10.5 3.5 3.5 7.5-8M9.5 13l1 1 7.5-8" />,
  expired: <path d="M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.25v.01" />,
  failed: <g><circle cx="10" cy="10" r="6.75" /><path d="m7.5 7.5 5 5m0-5-5 5" /></g>,
};
export const StateIcon = ({ state }) => <Icon size={15}>{stateShapes[state] ?? stateShapes.queued}</Icon>;
