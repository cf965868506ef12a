// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/traffic.h"

namespace anycast::test {

Requests::Requests(const Netns &client, const Endpoint &to)
	: thread_([this, &client, to](const std::stop_token &stopped) {
		  while (!stopped.stop_requested()) {
			  const Reply reply = http_get(client, to, "/");
			  // Without a pause they would take all that an emulated guest has, and
			  // leave thousands of flows to whoever asks for one.
			  std::this_thread::sleep_for(milliseconds(slowness() > 1 ? 50 : 10));
			  if (reply.ok) {
				  good_++;
				  count_.by_server[reply.body.substr(0, reply.body.find('\n'))]++;
			  } else if (count_.bad++ == 0) {
				  count_.first_error = reply.error;
			  }
		  }
	  })
{
}

Requests::Count Requests::stop()
{
	thread_.request_stop();
	if (thread_.joinable())
		thread_.join();
	count_.good = good_;
	return count_;
}

SlowDownload::SlowDownload(const Netns &client, const Endpoint &from,
			   std::uint64_t bytes_per_second, std::uint16_t source_port)
	: result_(std::async(std::launch::async, [this, &client, from, bytes_per_second,
						  source_port] {
		  return http_download(client, from, "/big", kCopy, bytes_per_second,
				       [this](std::uint64_t bytes) { bytes_ = bytes; },
				       {.limit = milliseconds(15000), .source_port = source_port});
	  }))
{
}

bool SlowDownload::await_bytes(std::uint64_t bytes, milliseconds limit) const
{
	return wait_until(limit, [&] { return bytes_ >= bytes; });
}

} // namespace anycast::test
