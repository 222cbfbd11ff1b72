import type { ChannelOptions } from '@grpc/grpc-js';

/**
 * The largest message that is taken. The coordinator's own bound (a payload and 1 MiB) is its own to choose, and is not known
 * when a channel is made, so this one is merely a stop.
 */
const RECEIVE_BYTES_MAX = 256 * 1_048_576;

/** Options of a channel to a coordinator: a channel of its own, which keeps no back-off of others. */
export function channelOptions(address: string): ChannelOptions {
  const common: ChannelOptions = {
    'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
    'grpc.max_send_message_length': -1,
    // Subchannels shared across channels would bring their own back-off, of up to 120 s, into the next dial.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    // The address is the coordinator's: a proxy of the environment is for the web.
    'grpc.enable_http_proxy': 0,
  };
  if (address.startsWith('unix:')) return common;
  return { ...common, 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 20_000 };
}
