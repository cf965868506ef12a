// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// http and https, by libcurl's multi interface in our loop; through a tunnel by a connection of
// TunnelProber's.
#pragma once

#include <memory>

#include "core/endpoint.h"
#include "health/probe.h"

namespace anycast::health {

class HttpClient {
public:
	HttpClient(Loop &loop, TunnelProber &tunnel);
	~HttpClient();
	HttpClient(const HttpClient &) = delete;
	HttpClient &operator=(const HttpClient &) = delete;

	Started start(const Target &target, Done done);

	struct Answer {
		bool ended = false; // nothing of `trouble`
		std::string trouble;
		long status = 0;
		std::string body;
	};
	using OnAnswer = std::function<void(Answer)>;
	// A page by http, of `most` bytes or fewer. The caller limits its time, and destroys it
	// when it has answered, but not from within.
	Started fetch(const Endpoint &from, const std::string &path, std::size_t most,
		      OnAnswer on_answer);

private:
	class Request;
	struct Multi; // libcurl's handle and its callbacks

	TunnelProber &tunnel_;
	std::unique_ptr<Multi> multi_;
};

// By the check's `status` and `body`.
Outcome judge_http(const CheckSpec &spec, long status, std::string_view body);

} // namespace anycast::health
