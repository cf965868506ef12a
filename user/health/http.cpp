// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/http.h"

#include <curl/curl.h>
#include <sys/epoll.h>

#include <algorithm>

#include <fmt/format.h>

#include "health/tunnel.h"

namespace anycast::health {

namespace {

constexpr std::size_t kKeptBody = 65536; // of a check

struct FreeList {
	void operator()(curl_slist *list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
	void operator()(CURL *easy) const { curl_easy_cleanup(easy); }
};

std::string in_url(const Address &address)
{
	return address.is_v4() ? address.text() : "[" + address.text() + "]";
}

} // namespace

Outcome judge_http(const CheckSpec &spec, long status, std::string_view body)
{
	const bool accepted = spec.status.empty()
				      ? status >= 200 && status < 400
				      : std::ranges::find(spec.status, status) != spec.status.end();
	if (!accepted)
		return {false, fmt::format("status {}", status)};
	if (body.find(spec.body) == body.npos)
		return {false, fmt::format("status {}, but \"{}\" is not in the body", status,
					   printable(spec.body, 40))};
	return {true, fmt::format("status {}", status)};
}

struct HttpClient::Multi {
	explicit Multi(Loop &the_loop) : loop(the_loop), handle(curl_multi_init())
	{
		curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, on_socket);
		curl_multi_setopt(handle, CURLMOPT_SOCKETDATA, this);
		curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, on_timer);
		curl_multi_setopt(handle, CURLMOPT_TIMERDATA, this);
	}
	~Multi()
	{
		curl_multi_cleanup(handle);
		loop.cancel(timer);
	}
	Multi(const Multi &) = delete;
	Multi &operator=(const Multi &) = delete;

	static int on_socket(CURL *, curl_socket_t fd, int what, void *self, void *)
	{
		static_cast<Multi *>(self)->socket_wants(fd, what);
		return 0;
	}
	static int on_timer(CURLM *, long ms, void *self)
	{
		static_cast<Multi *>(self)->timer_wants(ms);
		return 0;
	}
	void socket_wants(int fd, int what)
	{
		if (what == CURL_POLL_REMOVE) {
			loop.forget(fd);
			return;
		}
		const std::uint32_t events = (what & CURL_POLL_IN ? std::uint32_t{EPOLLIN} : 0) |
					     (what & CURL_POLL_OUT ? std::uint32_t{EPOLLOUT} : 0);
		// Where it fails, the engine's time limit ends the run.
		(void)loop.watch(fd, events, [this, fd](std::uint32_t ready) {
			act(fd, (ready & EPOLLIN ? CURL_CSELECT_IN : 0) |
					(ready & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
					(ready & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
		});
	}
	void timer_wants(long ms)
	{
		loop.cancel(timer);
		timer = 0;
		if (ms >= 0) // never at once: libcurl is not to be called from its own callback
			timer = loop.at(Loop::Clock::now() + Milliseconds(ms),
					[this] { act(CURL_SOCKET_TIMEOUT, 0); });
	}
	void act(int fd, int events);

	Loop &loop;
	CURLM *handle;
	Loop::Timer timer = 0;
};

class HttpClient::Request : public Probe {
public:
	// Of a longer body: the rest is left out, or the request fails.
	enum class Longer { kCut, kFail };

	Request(Multi &multi, const Target &target, std::size_t most, Longer longer,
		OnAnswer on_answer)
		: multi_(multi), spec_(target.spec), most_(most), longer_(longer),
		  on_answer_(std::move(on_answer)), easy_(curl_easy_init())
	{
		const bool tls = spec_.type == CheckType::kHttps;
		const std::string place = fmt::format("{}:{}", in_url(target.address), target.port);
		// Asked for by its name, sent to this address: certificate and SNI are the name's.
		const std::string host = spec_.host.empty() ? in_url(target.address) : spec_.host;
		const bool named_port = target.port != (tls ? 443 : 80);
		set(CURLOPT_URL,
		    fmt::format("{}://{}{}{}", tls ? "https" : "http", host,
				named_port ? fmt::format(":{}", target.port) : "", spec_.path)
			    .c_str());
		connect_to_.reset(curl_slist_append(nullptr, ("::" + place).c_str()));
		set(CURLOPT_CONNECT_TO, connect_to_.get());
		headers_.reset(curl_slist_append(nullptr, "Connection: close"));
		if (!spec_.host.empty())
			headers_.reset(curl_slist_append(headers_.release(),
							 ("Host: " + spec_.host).c_str()));
		set(CURLOPT_HTTPHEADER, headers_.get());
		set(CURLOPT_USERAGENT, "anycast-xdp");
		set(CURLOPT_PROXY, ""); // whatever the environment says
		set(CURLOPT_PROTOCOLS_STR, "http,https");
		set(CURLOPT_FRESH_CONNECT, 1L);
		set(CURLOPT_FORBID_REUSE, 1L);
		set(CURLOPT_NOSIGNAL, 1L);
		set(CURLOPT_SSL_VERIFYPEER, spec_.verify ? 1L : 0L);
		set(CURLOPT_SSL_VERIFYHOST, spec_.verify ? 2L : 0L);
		set(CURLOPT_WRITEFUNCTION, keep);
		set(CURLOPT_WRITEDATA, this);
		set(CURLOPT_PRIVATE, this);
		set(CURLOPT_ERRORBUFFER, error_);
	}
	void go_through(std::unique_ptr<TunnelProber::Stream> stream)
	{
		stream_ = std::move(stream);
		set(CURLOPT_ABSTRACT_UNIX_SOCKET, stream_->socket().c_str());
	}
	~Request() override { curl_multi_remove_handle(multi_.handle, easy_.get()); }

	Status start()
	{
		const CURLMcode code = curl_multi_add_handle(multi_.handle, easy_.get());
		if (code != CURLM_OK)
			return fail(Exit::kFailed, curl_multi_strerror(code));
		return {};
	}
	[[nodiscard]] std::string waiting_for() const override
	{
		if (stream_ && !stream_->connected())
			return "the connection, through the tunnel";
		curl_off_t connected = 0;
		curl_easy_getinfo(easy_.get(), CURLINFO_CONNECT_TIME_T, &connected);
		return connected == 0 ? "the connection" : body_.empty() ? "an answer" : "the end";
	}
	void finished(CURLcode code)
	{
		Answer answer{.ended = code == CURLE_OK, .trouble = {}, .body = std::move(body_)};
		curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &answer.status);
		if (code != CURLE_OK && stream_ && !stream_->trouble().empty())
			answer.trouble = stream_->trouble();
		else if (too_long_)
			answer.trouble = fmt::format("an answer of more than {} bytes", most_);
		else if (code != CURLE_OK)
			answer.trouble =
				printable(*error_ ? error_ : curl_easy_strerror(code), 120);
		on_answer_(std::move(answer));
	}

private:
	template <typename T> void set(CURLoption option, T value)
	{
		curl_easy_setopt(easy_.get(), option, value);
	}
	static std::size_t keep(char *bytes, std::size_t, std::size_t count, void *self)
	{
		Request &request = *static_cast<Request *>(self);
		std::string &body = request.body_;
		const std::size_t room = request.most_ - body.size();
		request.too_long_ = request.longer_ == Longer::kFail && count > room;
		if (request.too_long_)
			return 0;
		body.append(bytes, std::min(count, room));
		return count;
	}

	Multi &multi_;
	CheckSpec spec_;
	std::size_t most_;
	Longer longer_;
	bool too_long_ = false;
	OnAnswer on_answer_;
	std::string body_;
	char error_[CURL_ERROR_SIZE] = "";
	std::unique_ptr<curl_slist, FreeList> connect_to_, headers_;
	std::unique_ptr<TunnelProber::Stream> stream_;
	std::unique_ptr<CURL, FreeEasy> easy_; // last: it uses the others
};

void HttpClient::Multi::act(int fd, int events)
{
	int running = 0, left = 0;
	curl_multi_socket_action(handle, fd, events, &running);
	while (const CURLMsg *message = curl_multi_info_read(handle, &left)) {
		if (message->msg != CURLMSG_DONE)
			continue;
		char *request = nullptr;
		const CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		static_cast<Request *>(static_cast<void *>(request))->finished(code);
	}
}

HttpClient::HttpClient(Loop &loop, TunnelProber &tunnel) : tunnel_(tunnel)
{
	static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
	(void)once; // without it curl_multi_init() below gives no handle, and start() says so
	multi_ = std::make_unique<Multi>(loop);
}

HttpClient::~HttpClient() = default;

Started HttpClient::start(const Target &target, Done done)
{
	if (!multi_->handle)
		return fail(Exit::kFailed, "libcurl does not start");
	auto request = std::make_unique<Request>(
		*multi_, target, kKeptBody, Request::Longer::kCut,
		[spec = target.spec, done = std::move(done)](const Answer &answer) {
			done(answer.ended ? judge_http(spec, answer.status, answer.body)
					  : Outcome{false, answer.trouble});
		});
	if (target.tunnel) {
		auto stream = tunnel_.connect(target);
		if (!stream)
			return tl::unexpected(std::move(stream.error()));
		request->go_through(std::move(*stream));
	}
	AX_TRY(request->start());
	return request;
}

Started HttpClient::fetch(const Endpoint &from, const std::string &path, std::size_t most,
			  OnAnswer on_answer)
{
	if (!multi_->handle)
		return fail(Exit::kFailed, "libcurl does not start");
	Target target{.id = {}, .spec = {}, .address = from.address, .port = from.port};
	target.spec.type = CheckType::kHttp;
	target.spec.path = path;
	auto request = std::make_unique<Request>(*multi_, target, most, Request::Longer::kFail,
						 std::move(on_answer));
	AX_TRY(request->start());
	return request;
}

} // namespace anycast::health
