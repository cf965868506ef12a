// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the agent serves by HTTP.
#include "agent/agent.h"
#include "agent/http.h"
#include "core/mark_json.h"
#include "render/metrics.h"
#include "render/page.h"

namespace anycast::agent {

// Another program on the port is no reason to stop announcing.
void Agent::serve_pages()
{
	if (!config_.agent.http_address || http_)
		return;
	auto http = serve_http(
		loop_, {{*config_.agent.http_address, config_.agent.http_port}, "http_port"},
		{{"/metrics",
		  {"text/plain; version=0.0.4; charset=utf-8",
		   [this] { return render::metrics_text(status()); }}},
		 {"/",
		  {"text/html; charset=utf-8", [this] { return render::status_page(status()); }}}});
	problem("http", http ? "" : http.error().message());
	if (http)
		http_ = std::move(*http);
}

// For the agents of edges. Numbers alone: no flow, no client's address.
void Agent::serve_marks()
{
	if (!config_.agent.marks_listen || marks_server_)
		return;
	const auto body = [this] {
		auto report = around_.marks();
		if (report) {
			report->sent.sums.clear(); // is nobody else's business
			return marks_to_json(*report, false).dump();
		}
		return nlohmann::ordered_json{{"error", report.error().what}}.dump();
	};
	auto server = serve_http(
		loop_, {*config_.agent.marks_listen, "marks_listen", config_.agent.marks_allow},
		{{"/marks", {"application/json", body}}});
	problem("marks_listen", server ? "" : server.error().message());
	if (server)
		marks_server_ = std::move(*server);
}

} // namespace anycast::agent
