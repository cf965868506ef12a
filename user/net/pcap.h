// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Capture files. Whatever the file's link type, frames come out as Ethernet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "util/result.h"

struct pcap;
struct pcap_dumper;

namespace anycast {

struct CapturedFrame {
	std::vector<std::uint8_t> bytes; // as captured
	std::uint64_t time_ns = 0;	 // since the epoch
	std::uint32_t original_length = 0;

	// The capture's snap length cut it.
	[[nodiscard]] bool is_cut() const { return bytes.size() < original_length; }
	bool operator==(const CapturedFrame &) const = default;
};

// Reads pcap and pcapng, "-" is standard input. Ethernet as it is; LINUX_SLL, LINUX_SLL2, RAW,
// IPV4, IPV6, NULL and LOOP get an Ethernet header in place of theirs (addresses 00:00:00:00:00:00
// where theirs has none). Other link types are refused by name, and so are, by libpcap when it gets
// there, pcapng files that mix them. Not for use by two threads at once.
class CaptureReader {
public:
	static Result<CaptureReader> open(const std::string &path);

	// The next frame; nothing at the end of the file.
	Result<std::optional<CapturedFrame>> next();

	[[nodiscard]] const std::string &link_type() const { return link_type_; } // libpcap's name
	// Packets left out so far, because they end inside the link-layer header that is replaced,
	// or because that header's protocol has no ethertype (neither IPv4 nor IPv6 in RAW, NULL,
	// LOOP).
	[[nodiscard]] std::uint64_t skipped() const { return skipped_; }

private:
	struct Close {
		void operator()(pcap *handle) const;
	};
	CaptureReader(std::unique_ptr<pcap, Close> handle, std::string path);

	std::unique_ptr<pcap, Close> handle_;
	std::string path_;
	int link_ = 0;
	std::string link_type_;
	std::uint64_t skipped_ = 0;
};

// Writes pcap with nanoseconds, Ethernet; "-" is standard output.
class CaptureWriter {
public:
	static Result<CaptureWriter> create(const std::string &path);

	// original_length 0: the frame is whole.
	Status write(std::span<const std::uint8_t> bytes, std::uint64_t time_ns,
		     std::uint32_t original_length = 0);
	// Flushes: a full disk is noticed here at the latest. The destructor closes in silence.
	Status close();

private:
	struct Close {
		void operator()(pcap *handle) const;
		void operator()(pcap_dumper *dumper) const;
	};
	CaptureWriter(std::unique_ptr<pcap, Close> handle,
		      std::unique_ptr<pcap_dumper, Close> dumper, std::string path);

	std::unique_ptr<pcap, Close> handle_;
	std::unique_ptr<pcap_dumper, Close> dumper_; // uses handle_: destroyed first
	std::string path_;
};

} // namespace anycast
