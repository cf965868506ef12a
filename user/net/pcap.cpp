// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/pcap.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include <pcap/pcap.h>

namespace anycast {

namespace {

constexpr std::uint64_t kNanosecond = 1'000'000'000;
constexpr std::uint32_t kSnapLength = 262144; // libpcap's limit: it refuses to read larger ones
constexpr std::size_t kEthernet = 14;
constexpr std::uint16_t kIp4 = 0x0800, kIp6 = 0x86dd;

using Bytes = std::span<const std::uint8_t>;

// The link-layer header that is to be replaced.
struct Pseudo {
	std::size_t size = 0;
	std::uint16_t ethertype = 0;
	std::array<std::uint8_t, 6> source{};
};

std::uint16_t be16(Bytes bytes, std::size_t at)
{
	return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// "Cooked" captures: what stands for the ethertype is one, or below 1536 a Linux number, of which
// only 802.2 LLC has an Ethernet form: the length, which is what an Ethernet header has there.
std::optional<std::uint16_t> cooked_ethertype(std::uint16_t protocol, std::size_t payload)
{
	if (protocol >= 0x0600)
		return protocol;
	constexpr std::uint16_t kLlc = 4; // ETH_P_802_2
	if (protocol == kLlc && payload <= 1500)
		return static_cast<std::uint16_t>(payload);
	return std::nullopt;
}

std::optional<Pseudo> cooked(Bytes bytes, std::size_t size, std::size_t protocol_at,
			     std::size_t address_at, std::size_t address_size)
{
	const auto ethertype = cooked_ethertype(be16(bytes, protocol_at), bytes.size() - size);
	if (!ethertype)
		return std::nullopt;
	Pseudo pseudo{.size = size, .ethertype = *ethertype};
	if (address_size == pseudo.source.size())
		std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(address_at), address_size,
			    pseudo.source.begin());
	return pseudo;
}

std::optional<Pseudo> by_version(Bytes bytes, std::size_t size)
{
	if (bytes.size() <= size)
		return std::nullopt;
	switch (bytes[size] >> 4) {
	case 4:
		return Pseudo{.size = size, .ethertype = kIp4};
	case 6:
		return Pseudo{.size = size, .ethertype = kIp6};
	default:
		return std::nullopt;
	}
}

// NULL has the capturing machine's address family in its byte order, LOOP in network order.
std::optional<Pseudo> loopback(Bytes bytes)
{
	constexpr std::size_t kSize = 4;
	if (bytes.size() < kSize)
		return std::nullopt;
	const unsigned family = std::max(be16(bytes, 0), be16(bytes, 2)); // one half is zero
	switch (family > 0xff ? family >> 8 : family) {
	case 2:
		return Pseudo{.size = kSize, .ethertype = kIp4};
	case 10: // Linux
	case 24: // NetBSD, OpenBSD
	case 28: // FreeBSD
	case 30: // Darwin
		return Pseudo{.size = kSize, .ethertype = kIp6};
	default:
		return std::nullopt;
	}
}

bool is_supported(int link)
{
	switch (link) {
	case DLT_EN10MB:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_NULL:
	case DLT_LOOP:
		return true;
	default:
		return false;
	}
}

std::optional<Pseudo> parse_pseudo(int link, Bytes bytes)
{
	switch (link) {
	case DLT_LINUX_SLL: // packet type, ARPHRD, address length, address[8], protocol
		if (bytes.size() < 16)
			return std::nullopt;
		return cooked(bytes, 16, 14, 6, be16(bytes, 4));
	case DLT_LINUX_SLL2: // protocol, 0, ifindex, ARPHRD, packet type, length, address[8]
		if (bytes.size() < 20)
			return std::nullopt;
		return cooked(bytes, 20, 0, 12, bytes[11]);
	case DLT_NULL:
	case DLT_LOOP:
		return loopback(bytes);
	case DLT_IPV4: // whatever its version nibble says: that may be what is wrong with it
		return Pseudo{.size = 0, .ethertype = kIp4};
	case DLT_IPV6:
		return Pseudo{.size = 0, .ethertype = kIp6};
	default: // DLT_RAW
		return by_version(bytes, 0);
	}
}

std::optional<std::vector<std::uint8_t>> to_ethernet(int link, Bytes bytes)
{
	if (link == DLT_EN10MB)
		return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
	const auto pseudo = parse_pseudo(link, bytes);
	if (!pseudo)
		return std::nullopt;
	const Bytes rest = bytes.subspan(pseudo->size);
	std::vector<std::uint8_t> frame(kEthernet + rest.size()); // destination: zeros
	std::ranges::copy(pseudo->source, frame.begin() + 6);
	frame[12] = static_cast<std::uint8_t>(pseudo->ethertype >> 8);
	frame[13] = static_cast<std::uint8_t>(pseudo->ethertype);
	std::ranges::copy(rest, frame.begin() + kEthernet);
	return frame;
}

std::string name_of_link(int link)
{
	const char *name = pcap_datalink_val_to_name(link);
	return name != nullptr ? name : "number " + std::to_string(link);
}

} // namespace

void CaptureReader::Close::operator()(pcap *handle) const
{
	pcap_close(handle);
}

CaptureReader::CaptureReader(std::unique_ptr<pcap, Close> handle, std::string path)
	: handle_(std::move(handle)), path_(std::move(path)), link_(pcap_datalink(handle_.get())),
	  link_type_(name_of_link(link_))
{
}

Result<CaptureReader> CaptureReader::open(const std::string &path)
{
	std::array<char, PCAP_ERRBUF_SIZE> error{};
	std::unique_ptr<pcap, Close> handle(pcap_open_offline_with_tstamp_precision(
		path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error.data()));
	if (!handle) {
		std::string reason = error.data(); // libpcap names the file in some errors only
		if (!reason.starts_with(path))
			reason = path + ": " + reason;
		return fail(Exit::kFailed, "read capture " + reason);
	}
	CaptureReader reader(std::move(handle), path);
	if (!is_supported(reader.link_))
		return fail(Exit::kFailed,
			    "read capture " + path + ": link type " + reader.link_type_ +
				    " is not supported",
			    "Ethernet, LINUX_SLL, LINUX_SLL2, RAW, IPV4, IPV6, NULL and LOOP are");
	return reader;
}

Result<std::optional<CapturedFrame>> CaptureReader::next()
{
	pcap_pkthdr *header = nullptr;
	const u_char *data = nullptr;
	for (;;) {
		const int status = pcap_next_ex(handle_.get(), &header, &data);
		if (status == PCAP_ERROR_BREAK) // that is: end of file
			return std::nullopt;
		if (status != 1)
			return fail(Exit::kFailed,
				    "read capture " + path_ + ": " + pcap_geterr(handle_.get()));
		auto frame = to_ethernet(link_, Bytes(data, header->caplen));
		if (!frame) {
			++skipped_;
			continue;
		}
		CapturedFrame out;
		// A broken file may claim less than it holds.
		const std::uint32_t cut_off =
			header->len > header->caplen ? header->len - header->caplen : 0;
		out.original_length = static_cast<std::uint32_t>(frame->size()) + cut_off;
		out.bytes = std::move(*frame);
		// With nanosecond precision tv_usec holds nanoseconds.
		out.time_ns = static_cast<std::uint64_t>(header->ts.tv_sec) * kNanosecond +
			      static_cast<std::uint64_t>(header->ts.tv_usec);
		return out;
	}
}

void CaptureWriter::Close::operator()(pcap *handle) const
{
	pcap_close(handle);
}

void CaptureWriter::Close::operator()(pcap_dumper *dumper) const
{
	pcap_dump_close(dumper);
}

CaptureWriter::CaptureWriter(std::unique_ptr<pcap, Close> handle,
			     std::unique_ptr<pcap_dumper, Close> dumper, std::string path)
	: handle_(std::move(handle)), dumper_(std::move(dumper)), path_(std::move(path))
{
}

Result<CaptureWriter> CaptureWriter::create(const std::string &path)
{
	std::unique_ptr<pcap, Close> handle(pcap_open_dead_with_tstamp_precision(
		DLT_EN10MB, static_cast<int>(kSnapLength), PCAP_TSTAMP_PRECISION_NANO));
	if (!handle)
		return fail(Exit::kFailed, "write capture " + path + ": out of memory");
	std::unique_ptr<pcap_dumper, Close> dumper(pcap_dump_open(handle.get(), path.c_str()));
	if (!dumper)
		return fail(Exit::kFailed,
			    std::string("write capture ") + pcap_geterr(handle.get()));
	return CaptureWriter(std::move(handle), std::move(dumper), path);
}

Status CaptureWriter::write(Bytes bytes, std::uint64_t time_ns, std::uint32_t original_length)
{
	if (bytes.size() > kSnapLength)
		return fail(Exit::kFailed, "write capture " + path_ + ": frame of " +
						   std::to_string(bytes.size()) +
						   " bytes: no reader takes more than " +
						   std::to_string(kSnapLength));
	pcap_pkthdr header{};
	header.caplen = static_cast<bpf_u_int32>(bytes.size());
	header.len = std::max(header.caplen, original_length);
	header.ts.tv_sec = static_cast<time_t>(time_ns / kNanosecond);
	header.ts.tv_usec = static_cast<suseconds_t>(time_ns % kNanosecond);
	pcap_dump(reinterpret_cast<u_char *>(dumper_.get()), &header, bytes.data());
	if (std::ferror(pcap_dump_file(dumper_.get())) != 0)
		return fail_errno("write capture " + path_, errno);
	return {};
}

Status CaptureWriter::close()
{
	const bool flushed = pcap_dump_flush(dumper_.get()) == 0;
	const int error = errno;
	dumper_.reset();
	handle_.reset();
	if (!flushed)
		return fail_errno("write capture " + path_, error);
	return {};
}

} // namespace anycast
